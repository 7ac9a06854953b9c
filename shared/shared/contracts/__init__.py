"""The events that services exchange: one module a topic, every event a frozen pydantic model tagged by `type`.

The wire rule: a field is only ever added, last, with a default; none is removed, renamed or reordered. Money and prices travel as
decimal strings, volumes, ids and times (Unix milliseconds) as integers. What concerns many followers is one event with a table in it.
"""
