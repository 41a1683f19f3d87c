"""The one-machine platform: real servers and the functions, started and kept running by one process."""
