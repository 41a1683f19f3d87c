"""Files of vectors: NDJSON, Parquet and npy, read and written row by row, however large they are."""
