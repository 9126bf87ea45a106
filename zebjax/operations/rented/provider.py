"""What the guard needs from those who rent machines out."""

from typing import Protocol

from zebjax.operations.rented.model import Instance, Offer


class ProviderError(Exception):
    """The provider did not do what it was asked for."""


class Unreachable(ProviderError):
    """The provider does not answer; try again later."""


class Refused(ProviderError):
    """The provider answers, and does not do it."""


class Provider(Protocol):
    """Rents and ends machines that run one worker each."""

    def list_offers(self, role: str) -> tuple[Offer, ...]:
        """Return the free offers for a role.

        Raises:
            ProviderError: if they are not known now.
        """

    def list_instances(self) -> tuple[Instance, ...]:
        """Return all rentals of the fleet that are not over, and those that ended lately.

        Raises:
            ProviderError: if they are not known now.
        """

    def rent(self, name: str, role: str, offer: Offer) -> None:
        """Rent an offer for a worker of this name. Returns before the machine runs.

        Raises:
            Refused: if it cannot be rented.
            Unreachable: if it is not known whether it was rented.
        """

    def end(self, name: str) -> None:
        """Ask to end a rental; no error if it is over.

        Raises:
            ProviderError: if that could not be asked for.
        """

    def list_machines(self) -> tuple[str, ...]:
        """Return names of all machines of the fleet that may still cost money, whatever runs there.

        Raises:
            ProviderError: if they are not known now.
        """

    def close(self) -> None:
        """Remove what is left of the fleet when no rental is: a later call of `rent` fails.

        Raises:
            ProviderError: if that could not be asked for.
        """

    def logs(self, name: str) -> str:
        """Return the output of a worker's program; "" if there is none.

        Raises:
            ProviderError: if it is not known.
        """
