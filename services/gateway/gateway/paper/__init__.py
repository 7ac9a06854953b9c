"""The paper venue: accounts, prices and orders of its own, filled at recorded or hand-set prices."""
