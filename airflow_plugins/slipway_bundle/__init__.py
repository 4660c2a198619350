"""Releases of DAGs for Airflow: immutable archives, one pointer, and runs that keep the version they began with.

Ships to Airflow by itself (on Amazon MWAA in plugins.zip), so it imports nothing of Slipway, and only `bundle` and
`listener` import Airflow. What stands in the release store:

    <source>/CURRENT                    {"version", "sha256", "release", "config"}: the one object that changes
    <source>/versions/<version>.tar.gz  dags/, dbt/, version.json; never changed once written
    <source>/versions/<version>.sha256  its sha256, for workers, which know a run's version and nothing else
"""
