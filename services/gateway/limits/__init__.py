"""How fast an account may call: its rate and its requests at once."""
