"""How the report's figures look."""
