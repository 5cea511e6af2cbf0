"""What depends on the engine that the tables are stored with: one file for each."""
