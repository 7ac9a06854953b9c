"""The main job on containers: our own images on Redis and Postgres, and the same end when each container is killed once on the way."""

from collections.abc import Iterator

import pytest

from tests.e2e.containers import ContainerStack, build_images, container_stack, engine_answers
from tests.e2e.main_job import MainJob, check_end

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not engine_answers(), reason="no Docker engine answers"),
]


@pytest.fixture(scope="module")
def images() -> None:
    build_images()


@pytest.fixture
def stack(images: None) -> Iterator[ContainerStack]:
    with container_stack() as running:
        yield running


def test_the_main_job_while_each_container_is_killed_once(stack: ContainerStack) -> None:
    job = MainJob(stack)
    job.open_accounts()
    job.subscribe()
    victims_of = [("executor", "redis", "api"), ("gateway", "stats"), ("postgres", "rewards")]
    for (step, expected), victims in zip(job.steps(), victims_of, strict=True):
        step()
        for victim in victims:
            stack.kill_service(victim)
        job.wait_for_volumes(expected)
    job.wait_for_the_end()
    check_end(job)
