"""FAISS in this process: vectors in memory, compared exactly where few pass and by their codes where many do."""
