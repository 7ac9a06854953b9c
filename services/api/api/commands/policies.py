"""Reward policies: how a master is rewarded, and from when. Each version is kept, since an accrual follows the one of its time."""

from shared.contracts.config import PolicyDeleted, PolicySaved

from api import decide, read_models, store
from api.bodies import RewardPolicyBody
from api.commands.change import Change
from api.errors import AccountUnseen, Refused, refuse
from api.read_models import Account
from api.store import Master, RewardPolicy
from api.views import Json, policy_view


async def create(change: Change, master: Master, body: RewardPolicyBody) -> RewardPolicy:
    """Raises Refused: INVALID_REWARD_POLICY, INVALID_PAYOUT_ACCOUNT, POLICY_ALREADY_EXISTS."""
    if await store.policy_of(change.session, master.id) is not None:
        raise Refused("POLICY_ALREADY_EXISTS", f"master {master.id} has a reward policy")
    now = change.work.now
    policy = RewardPolicy(
        created_ms=now,
        updated_ms=now,
        master_id=master.id,
        master_login=master.login,
        valid_from_ms=now,
        **await _terms(change, master, body),
    )
    change.session.add(policy)
    await change.session.flush()
    _saved(change, policy)
    change.record("create", policy, None, policy_view(policy), policy.id)
    return policy


async def update(change: Change, policy: RewardPolicy, body: RewardPolicyBody, updated_time: int | None = None) -> RewardPolicy:
    """A new version, whole: what the body leaves out has its default. Raises as `create` does."""
    change.unchanged_since(policy, updated_time)
    master = await change.find(Master, policy.master_id)
    before = policy_view(policy)
    for name, value in (await _terms(change, master, body)).items():
        setattr(policy, name, value)
    change.touch(policy)
    policy.valid_from_ms = policy.updated_ms  # never before the version that it takes the place of, whatever this instance's clock says
    _saved(change, policy)
    change.record("update", policy, before, policy_view(policy), policy.id)
    return policy


async def delete(change: Change, policy: RewardPolicy) -> None:
    """The master is followed without a reward from now on."""
    change.unchanged_since(policy, None)
    change.tell(PolicyDeleted(policy=store.policy_state(policy)))
    change.record("delete", policy, policy_view(policy), None, policy.id)
    await change.session.delete(policy)


def _saved(change: Change, policy: RewardPolicy) -> None:
    state = store.policy_state(policy)
    change.keep_version("reward_policy", state, policy.valid_from_ms)
    change.tell(PolicySaved(policy=state))


async def _terms(change: Change, master: Master, body: RewardPolicyBody) -> Json:
    terms = decide.reward_terms(body.reward_type, body.billing_period, body.fee_amount, body.fee_percent, body.hwm_enabled)
    if isinstance(terms, decide.Refusal):
        raise Refused(terms.code, terms.message)
    options = body.model_dump(include={"hwm_basis", "netting", "rebate_sides", "fee_cap"})
    refuse(decide.reward_options(terms, options))
    payout = await _payout_account(change, master, body.payout_account_login or master.login)
    own = await read_models.account(change.session, master.login)
    currency = body.currency or (own.currency if own else payout.currency)
    refuse(decide.fee_currency(currency))
    return options | terms._asdict() | {"enabled": body.enabled, "currency": currency, "payout_account_login": payout.login}


async def _payout_account(change: Change, master: Master, login: int) -> Account:
    account = await read_models.account(change.session, login)
    if account is None:
        raise AccountUnseen("INVALID_PAYOUT_ACCOUNT", login)
    refuse(decide.may_pay_out(account.customer_id, account.mode, master.customer_id))
    return account
