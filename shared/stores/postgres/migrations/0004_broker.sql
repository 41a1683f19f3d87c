-- What a broker needs of the record: who consumes what, what is in whose queue, and events for one consumer alone.

ALTER TABLE consumers ADD COLUMN type text;                          -- of the events it wants
ALTER TABLE consumers ADD COLUMN carried bigint NOT NULL DEFAULT 0;  -- everything up to here was put in its queue
ALTER TABLE events ADD COLUMN consumer text;     -- a dead letter sent again, to whom it failed with; NULL: to all
