"""The client's call about what was used."""

import datetime
from collections.abc import Sequence

from legato.client.http import Http
from legato.core.spending import Group, UsageReport


class Spending:
    """Mixed into ``AsyncClient``."""

    _http: Http

    async def usage(
        self,
        *,
        by: Sequence[Group] = ("day",),
        first: datetime.date | None = None,
        last: datetime.date | None = None,
        limit: int = 1000,
    ) -> UsageReport:
        """What you have used, in tokens and US dollars, summed ``by`` any of day, agent, model, session and kind.

        From the day ``first`` to the day ``last``, both included and in UTC; by default until today, and 30 days.
        """
        params = {"group_by": ",".join(by), "limit": str(limit)}
        params |= {name: day.isoformat() for name, day in (("from", first), ("to", last)) if day is not None}
        return await self._http.call(UsageReport, "GET", "/v1/usage", params=params)
