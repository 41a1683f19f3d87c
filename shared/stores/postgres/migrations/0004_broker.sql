-- What a broker needs of the record: who consumes what, and which events are for one consumer alone.

ALTER TABLE consumers ADD COLUMN type text;      -- of the events it wants
ALTER TABLE events ADD COLUMN consumer text;     -- a dead letter sent again, to whom it failed with; NULL: to all
