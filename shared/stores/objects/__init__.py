"""Objects in a folder of this machine, or in S3."""
