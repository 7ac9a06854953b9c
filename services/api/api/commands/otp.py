"""The second factor of a customer's login: time-based one-time codes (SHA-1, 6 digits, 30 s, one step of tolerance)."""

import hmac

import pyotp

from api.auth import Vault
from api.bodies import OtpBody
from api.commands.change import Change
from api.errors import Refused
from api.store import Customer
from api.views import Json

ISSUER = "Lockstep"
STEP_S = 30
WINDOW = 1


async def offer(change: Change, vault: Vault) -> Json:
    """Whether it is on; while it is off, a secret for the device. Raises Refused(RET_ERR_NOTFOUND) for a customer without a row."""
    customer = await _customer(change)
    if customer.otp_enabled:
        return {"enabled": 1}
    if not customer.otp_sealed:
        customer.otp_sealed = vault.seal(pyotp.random_base32())
        change.record("otp_secret", customer, None, {"otp_enabled": 0}, customer.id)
    secret = vault.open(customer.otp_sealed)
    return {"enabled": 0, "secret": secret, "uri": pyotp.TOTP(secret).provisioning_uri(name=customer.email, issuer_name=ISSUER)}


async def switch(change: Change, vault: Vault, body: OtpBody) -> Json:
    """Raises Refused: RET_ERR_NOTFOUND, OTP_NOT_CONFIGURED, OTP_ALREADY_CONFIGURED, INVALID_OTP_CODE."""
    customer = await _customer(change)
    if body.enabled and customer.otp_enabled:
        raise Refused("OTP_ALREADY_CONFIGURED", "the second factor is on already")
    _use(change, vault, customer, body.otp_code)
    before = {"otp_enabled": customer.otp_enabled}
    customer.otp_enabled = body.enabled
    if not body.enabled:
        customer.otp_sealed = ""
    change.record("otp", customer, before, {"otp_enabled": customer.otp_enabled}, customer.id)
    return {"enabled": customer.otp_enabled}


async def use(change: Change, vault: Vault, code: str) -> Json:
    """Takes a code, once. Raises Refused: OTP_NOT_CONFIGURED, INVALID_OTP_CODE."""
    _use(change, vault, await _customer(change), code)
    return {}


async def _customer(change: Change) -> Customer:
    customer = await change.session.get(Customer, change.actor.customer_id, with_for_update=True)
    if customer is None:
        raise Refused("RET_ERR_NOTFOUND", "the customer has no login here")
    return customer


def _use(change: Change, vault: Vault, customer: Customer, code: str) -> None:
    if not customer.otp_sealed:
        raise Refused("OTP_NOT_CONFIGURED", "the second factor is not set up")
    device = pyotp.TOTP(vault.open(customer.otp_sealed))
    now = change.work.now // 1000 // STEP_S
    for step in range(now - WINDOW, now + WINDOW + 1):
        if step > customer.otp_used and hmac.compare_digest(device.generate_otp(step).encode(), code.encode()):
            customer.otp_used = step
            return
    raise Refused("INVALID_OTP_CODE", "the code is wrong, expired or used")
