"""What a person or a program sees of a record. Nothing here computes a log-probability or prints."""
