"""A service's own store: its engine, its unit of work, and the part of the numbered log that lives in a database."""
