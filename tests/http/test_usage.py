"""What was used, over HTTP: sums that a model's turns and side work leave behind, and nobody else's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.puppets import Puppets
from tests.http.speaking import Api

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-11")]

SUMS = (
    "calls",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "total_tokens",
    "cost_usd",
    "unpriced",
    "estimated",
)


async def used(api: Api, group_by: str | None = None, **params: Any) -> Any:
    """The report; titles that the background gives meanwhile are none of its business where ``kind`` is asked for."""
    given = {**params, **({"group_by": group_by} if group_by else {})}
    return await api.call("GET", "/v1/usage", params=given)


async def turns_used(api: Api, group_by: str) -> list[dict[str, Any]]:
    rows = (await used(api, f"{group_by},kind"))["data"]
    return [row for row in rows if row.pop("kind") == "turn"]


async def test_turns_are_summed_by_day_agent_and_model(api: Api) -> None:
    session = await api.session("model")
    turns = [await api.answered(session, "count 3"), await api.answered(session, "count 5", model_id="openai:other")]
    turns.append(await api.answered(await api.session("small"), "count 2"))
    first, other, small = (turn["usage"] for turn in turns)

    (day,) = await turns_used(api, "day")
    assert day["day"] == turns[0]["finished_at"][:10]
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert day[key] == first[key] + other[key] + small[key]
    assert day["cost_usd"] == pytest.approx(first["cost_usd"])
    assert (day["calls"], day["unpriced"], day["estimated"]) == (3, 2, 0)

    agents = {row["agent_id"]: row for row in await turns_used(api, "agent")}
    assert {name: row["calls"] for name, row in agents.items()} == {"model": 2, "small": 1}
    models = {row["model_id"]: row for row in await turns_used(api, "model")}
    assert models.keys() == {"openai:m", "openai:other", "openai:small"}
    assert models["openai:m"].keys() == {"model_id", *SUMS}
    assert (models["openai:m"]["cost_usd"], models["openai:m"]["unpriced"]) == (pytest.approx(first["cost_usd"]), 0)
    assert (models["openai:other"]["cost_usd"], models["openai:other"]["unpriced"]) == (0, 1)
    both = {(row["day"], row["agent_id"], row["model_id"]) for row in await turns_used(api, "day,agent,model")}
    assert both == {(day["day"], agent, model) for agent, model in _PAIRS}


_PAIRS = {("model", "openai:m"), ("model", "openai:other"), ("small", "openai:small")}


async def test_sums_by_session_are_its_stats_and_name_it(api: Api) -> None:
    paths = [await api.session("model", title=f"Number {number}") for number in range(2)]
    for path in (*paths, paths[1]):
        await api.answered(path, "count 3")
    report = await used(api, "session")
    assert [row["title"] for row in report["data"]] == ["Number 1", "Number 0"], "what cost most comes first"
    for path, row in zip(paths[::-1], report["data"], strict=True):
        assert row["session_id"] == path.rpartition("/")[2]
        stats = (await api.call("GET", f"{path}/stats"))["usage"]
        for key in ("prompt_tokens", "completion_tokens", "cached_tokens", "total_tokens", "cost_usd"):
            assert row[key] == pytest.approx(stats[key])
    for key in SUMS:
        assert report["total"][key] == pytest.approx(sum(row[key] for row in report["data"]))


async def test_what_is_deleted_stays_in_the_sums(api: Api, stranger: Api) -> None:
    session = await api.session("model", title="canary-title")
    await api.answered(session, "count 3")
    before = await turns_used(api, "day,agent,model")
    await api.call("DELETE", session, status=204)
    assert await turns_used(api, "day,agent,model") == before != []
    assert (await used(api, "session"))["data"] == []
    assert "canary" not in str(await used(api, "day,agent,model,kind"))
    assert (await used(stranger))["data"] == []
    assert (await used(stranger, "session"))["data"] == []


async def test_a_cancelled_turn_counts_an_estimate(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn = await api.send(session)
    puppet = await puppets.of(turn["id"])
    puppet.say("Some words that were said")
    async with api.follow(session, "0") as stream:
        await stream.until("token")
    ended = await api.call("POST", f"{session}/turns/{turn['id']}/cancel")
    (row,) = await turns_used(api, "model")
    assert row["model_id"] is None, "no model was called"
    assert (row["calls"], row["estimated"], row["unpriced"]) == (1, 1, 1)
    assert row["completion_tokens"] == ended["usage"]["completion_tokens"] > 0


async def test_days_are_chosen_and_told(api: Api) -> None:
    await api.answered(await api.session("model"), "count 3")
    today = datetime.now(UTC).date()
    yesterday, long_ago = today - timedelta(1), today - timedelta(29)
    report = await used(api)
    assert report["to"] in (str(today), str(today + timedelta(1)))  # it may be midnight
    assert (report["from"], report["group_by"]) == (str(long_ago), ["day"]) or report["to"] != str(today)
    assert report.keys() == {"from", "to", "group_by", "data", "has_more", "total"}
    assert len((await used(api, **{"from": str(yesterday), "to": "9999-12-31"}))["data"]) >= 1
    assert (await used(api, to=str(yesterday)))["data"] == []
    assert (await used(api, to="0001-01-01"))["from"] == "0001-01-01"
    for params in ({"from": "2026-01-02", "to": "2026-01-01"}, {"from": "9999-12-31"}):
        await api.refused(422, "invalid_request", "GET", "/v1/usage", params=params)


async def test_what_can_not_be_asked_is_refused(api: Api) -> None:
    wrong: tuple[dict[str, str], ...] = (
        {"group_by": ""},
        {"group_by": "owner"},
        {"group_by": "day,"},
        {"group_by": "day, agent"},
        {"from": "yesterday"},
        {"from": "1700000000"},
        {"to": "2026-02-30"},
        {"to": "2026-02-03T00:00"},
        {"limit": "0"},
        {"limit": "1001"},
    )
    for params in wrong:
        await api.refused(422, "invalid_request", "GET", "/v1/usage", params=params)
    assert (await used(api, "agent,day,agent"))["group_by"] == ["agent", "day"]


async def test_rows_are_bounded(api: Api) -> None:
    for agent in ("model", "small"):
        await api.answered(await api.session(agent), "count 1")
    report = await used(api, "session", limit=1)
    assert (len(report["data"]), report["has_more"], report["total"]["calls"]) == (1, True, 2)
