"""What a model call comes to: by what was reported, else by the documented estimate."""

from dataclasses import dataclass, replace

from libs.catalogue import Usage
from services.gateway.estimate import Bound, estimated_usage
from services.gateway.meter import Meter, believable
from services.gateway.offers import Candidate, Offer
from services.gateway.orders import Settlement


@dataclass(slots=True)
class Tally:
    """Counts one request: `cap` is the output tokens that are held for, for each choice."""

    offer: Offer
    bound: Bound
    cap: int

    def finished(self, meter: Meter, candidate: Candidate, sent: int) -> Settlement:
        """The charge of an answer that came to its end."""
        reported = believable(meter)
        if reported is None:
            return self._settlement(self._estimate(meter, sent), meter, candidate, actual=False)
        return self._settlement(reported, meter, candidate, actual=True)

    def broken(self, meter: Meter, candidate: Candidate, sent: int) -> Settlement:
        """The charge of an answer that we broke off: what came until then."""
        if meter.complete:
            return self.finished(meter, candidate, sent)
        return self._settlement(self.so_far(meter, sent), meter, candidate, actual=False)

    def used(self, meter: Meter, candidate: Candidate, sent: int) -> int:
        """Nanos used until now."""
        return self.offer.charge(self.so_far(meter, sent), candidate).charge

    def so_far(self, meter: Meter, sent: int) -> Usage:
        """What was used until now: what was reported, with the estimate of output that is more."""
        estimate, reported = self._estimate(meter, sent), meter.usage
        if reported is None or not reported.input_tokens:
            return estimate
        output = max(reported.output_tokens, estimate.output_tokens)
        return replace(reported, output_tokens=output)

    def _estimate(self, meter: Meter, sent: int) -> Usage:
        return estimated_usage(self.bound, cap=self.cap, sent=sent, delivered=meter.delivered)

    def _settlement(
        self, usage: Usage, meter: Meter, candidate: Candidate, *, actual: bool
    ) -> Settlement:
        charge = self.offer.charge(usage, candidate)
        told = (actual or self.bound.by_piece) and meter.odd is None
        return Settlement(
            charge=charge.charge,
            margin=charge.margin,
            # What was served at another price than ours is no actual charge.
            basis="actual" if told else "estimate",
            cost_pico=charge.cost_pico,
            usage=usage,
            finish=meter.finish,
        )
