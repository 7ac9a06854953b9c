from shared.start import start

if __name__ == "__main__":
    start("console.wiring")
