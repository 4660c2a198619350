"""The Airflow plugin of Slipway: reports import errors and failed runs. The DAG bundle is in `slipway_bundle`."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from slipway_bundle.listener import Listener


class SlipwayPlugin(AirflowPlugin):
    """Registers the listener in every Airflow process."""

    name = "slipway"
    listeners = [Listener()]  # noqa: RUF012 - the attribute Airflow reads
