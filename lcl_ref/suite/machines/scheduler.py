"""The scheduler at which a run and its machines meet: its address, and what is said where it cannot be reached."""

from __future__ import annotations

import logging

from distributed.comm.addressing import get_address_host_port

from lcl_ref.errors import LclError, Violation


def check_address(address: str) -> None:
    """Refuse what is no address; from here on Dask is silent: what goes wrong is said by an error.

    Raises
    ------
    LclError
        Which shows one.
    """
    for logger in ("distributed", "distributed.client"):  # each has a level and a handler of its own
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise unreachable(address, error) from error


def unreachable(address: str, error: BaseException) -> LclError:
    """Return what is said of an address where no scheduler answers."""
    got, expected = str(error) or "no answer", "the address of a Dask scheduler, such as tcp://10.0.0.1:8786"
    return LclError(Violation("machines/scheduler", f"scheduler {address}", got, expected))
