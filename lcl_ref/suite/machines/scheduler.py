"""The scheduler at which a run and its machines meet: its address, and what is said where it cannot be reached."""

from __future__ import annotations

from distributed.comm.addressing import get_address_host_port

from lcl_ref.errors import LclError, Violation


def check_address(address: str) -> None:
    """Refuse what is no address.

    Raises
    ------
    LclError
        Which shows one.
    """
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise unreachable(address, error) from error


def unreachable(address: str, error: BaseException) -> LclError:
    """Return what is said of an address where no scheduler answers."""
    got, expected = str(error) or "no answer", "the address of a Dask scheduler, such as tcp://10.0.0.1:8786"
    return LclError(Violation("machines/scheduler", f"scheduler {address}", got, expected))
