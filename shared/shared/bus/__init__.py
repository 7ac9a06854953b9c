"""The part of the numbered log that lives in Redis: the only place that knows Redis and FastStream."""
