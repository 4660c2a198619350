"""What takes how long, measured."""
