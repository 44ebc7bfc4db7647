"""What every service shares and that knows no word of the domain."""
