"""An existing client of the signed OpenAPI, as its users run it: ccxt's `toobit` class, in an environment of its own (.venv-clients).

Its first argument is the server's address. Each line of standard input is a JSON object with `key`, `secret`, `method`, `path` and
`parameters`; each line printed is the JSON of the answer, or `{"raised": class, "message": ...}` of what ccxt made of it.
"""

import json
import sys

import ccxt


def main() -> None:
    base = sys.argv[1]
    for line in sys.stdin:
        told = json.loads(line)
        exchange = ccxt.toobit({"apiKey": told["key"], "secret": told["secret"], "enableRateLimit": False})
        exchange.quoteJsonNumbers = False
        exchange.urls["api"] = {"common": base, "private": base}
        try:
            answer = exchange.fetch2(told["path"], "private", told["method"], told["parameters"])
        except ccxt.BaseError as error:
            answer = {"raised": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
