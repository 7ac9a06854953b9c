from shared.start import start

if __name__ == "__main__":
    start("rewards.wiring")
