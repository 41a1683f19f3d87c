"""filesystem: reading, writing and searching the files a user owns."""
