"""Keeps a text with the run that a study opened in one night. A process of its own: reads a job from standard input, see `main`."""

from __future__ import annotations

import json
import sys
from typing import Any

from sweep.errors import GoldilocksError
from sweep.tracking import names
from sweep.tracking.address import Address, address_of

MORNING = "sweep.morning"
"""The tag with the note's title."""
FOLDER = "notes"
_PAGE = 1000


def keep(uri: str, study: str, after: float, before: float, file: str, title: str) -> bool:
    """Keeps the file as an artifact of the latest run of a sweep that began within these moments, and its title as a tag.

    Args:
        after, before: seconds since the epoch.

    Returns:
        whether there is such a run.

    Raises:
        ConfigurationError: MLflow has no store of that kind.
        EnvironmentLacks: the store cannot be reached or written; without secrets.
    """
    from sweep.tracking.mlflow_tracker import MlflowTracker  # first: it sets what MLflow reads on import

    address = address_of(uri)
    MlflowTracker(uri, None)  # explains a store that does not answer
    run = _run(address, study, after, before)
    if run is None:
        return False
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address.uri, registry_uri=address.uri)
    client.log_artifact(run, file, FOLDER)
    for name, value in names.valid_tags({MORNING: title}).items():
        client.set_tag(run, name, value)
    return True


def _run(address: Address, study: str, after: float, before: float) -> str | None:
    """The latest parent run of the study that began within these moments."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address.uri, registry_uri=address.uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return None
    chosen = f"attributes.start_time >= {int(after * 1000)} AND attributes.start_time <= {int(before * 1000) + 1}"
    latest: str | None = None
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id],
            chosen,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        for run in page:
            tags = run.data.tags
            if tags.get(names.STUDY) == study and names.PARENT not in tags:
                latest = str(run.info.run_id)
        token = page.token
        if not token:
            return latest


def main() -> int:
    """Reads the arguments of `keep` as a JSON object from standard input, and writes null or what went wrong; returns 0."""
    job: dict[str, Any] = json.load(sys.stdin)
    reports = sys.stdout
    # what MLflow prints does not disturb the report
    sys.stdout = sys.stderr
    problem: str | None = None
    try:
        keep(**job)
    except GoldilocksError as error:
        problem = str(error).partition("\n")[0]
    except Exception as error:  # of any store's libraries, which must not show the address
        text = str(error).strip().partition("\n")[0][:500]
        problem = f"{type(error).__name__}: {address_of(job['uri']).without_secrets(text)}"
    print(json.dumps(problem), file=reports, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
