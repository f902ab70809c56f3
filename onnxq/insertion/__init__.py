"""Plan and statistics -> the Q/DQ model, its float rest in half precision if asked."""
