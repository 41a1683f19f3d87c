"""memory-bank: notes on projects as named files, kept between sessions."""
