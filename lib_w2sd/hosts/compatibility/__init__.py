"""What W2SD needs of a WebUI, and what it says in one that lacks it."""
