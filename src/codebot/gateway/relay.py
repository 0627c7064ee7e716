"""One call of an agent: vetted, kept within its task's caps, passed on, and charged."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import anyio
import structlog

from codebot.domain.budget import Cap
from codebot.domain.outcome import ModelRefusal, Usage
from codebot.gateway import notices
from codebot.gateway.account import Grant, Wish
from codebot.gateway.guest import Guest
from codebot.gateway.incoming import Reply
from codebot.gateway.metering import BROKEN, CUT, AnswerReader, Bounds, Turn, charge
from codebot.gateway.prices import FREE, find_tariff, worst_input
from codebot.gateway.refusals import read_refusal
from codebot.gateway.request import NOTICE, ModelRequest, NotUnderstood, read_question, read_request
from codebot.gateway.upstream import COUNT_TOKENS, Answer, Call, Upstream, refusal

log = structlog.get_logger(__name__)

LONGEST_COUNT = 10
"""Seconds that the API gets to count tokens; a guess is good enough after that."""
COUNT_IS_OFF = 1.05
COUNT_LACKS = NOTICE + 500
"""The API calls its own count an estimate; and our own words may be added to the request."""
LONGEST_REASON = 64 * 1024
MOST_NAMES = 100
"""Names of left-out things that are logged, each once: agents can invent any number."""
LONGEST_NAME = 64


@dataclass(slots=True)
class _Course:
    """How a call went, as far as it got."""

    asked: float
    waited: float = 0.0
    status: int = CUT
    is_whole: bool = False
    may_be_paid: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    said: bytes = b""

    def began(self, answer: Answer) -> None:
        self.waited = time.monotonic() - self.asked
        self.status, self.may_be_paid = answer.status, answer.may_be_paid
        self.headers = answer.headers

    def heard(self, piece: bytes) -> None:
        if self.is_refused:
            self.said = (self.said + piece)[:LONGEST_REASON]

    @property
    def is_refused(self) -> bool:
        """Whether the answer is an error."""
        return self.status >= 400  # noqa: PLR2004 - HTTP's own border

    @property
    def refusal(self) -> ModelRefusal | None:
        """What the answer means, where it is an error that came to its end."""
        if not (self.is_refused and self.is_whole):
            return None
        return read_refusal(self.status, self.headers, self.said, datetime.now(UTC))

    @property
    def costs_nothing(self) -> bool:
        """Whether the API refused: nobody pays for an error."""
        return self.is_refused and not self.may_be_paid


class Relay:
    """Passes calls on to the upstream, none that could pass a cap of its task."""

    def __init__(self, upstream: Upstream) -> None:
        """Pass everything on to this one."""
        self._upstream = upstream
        self._logged: set[str] = set()

    async def attend(self, guest: Guest, call: Call, reply: Reply) -> None:
        """Answer one call, from reading it to charging it."""
        read = read_question if call.path == COUNT_TOKENS else read_request
        try:
            request = await asyncio.to_thread(read, call.body)
        except NotUnderstood as exc:
            message = f"The gateway refuses what it cannot meter. {exc}"
            await reply.write(refusal(400, "invalid_request_error", message, retry=False))
            return
        self._log_once("gateway.left_out", request.left_out)
        if call.path == COUNT_TOKENS:
            await self._pass_question(request.sent_by(call), reply)
        else:
            await self._pass_request(guest, request, call, reply)

    async def _pass_question(self, call: Call, reply: Reply) -> None:
        async with self._upstream.send(call) as answer:
            await reply.write(answer)

    async def _pass_request(
        self, guest: Guest, request: ModelRequest, call: Call, reply: Reply
    ) -> None:
        account = guest.account
        wish = await self._wish(guest, request, call)
        grant = await account.reserve(wish)
        nearly = account.comes_to_its_end(wish)
        if isinstance(grant, Cap):
            await guest.stop(grant)
            await reply.write(self._refused(guest, grant))
            return
        course = _Course(asked=time.monotonic())
        reader = AnswerReader()
        request = request.saying_at_most(grant.max_tokens)
        try:
            if nearly:
                used = account.caps.in_words(nearly, account.used)
                request = request.with_notice(notices.wrap_up(used))
                await guest.warn(nearly)
            await self._relay(request.sent_by(call), course, reader, reply)
        finally:
            turn = self._turn(guest, request.model, grant, course, reader)
            if course.is_whole and reader.says_nothing and not course.is_refused:
                self._log_once("gateway.no_usage", frozenset({turn.model}))
                guest.note_unmetered(turn)
            await guest.record(turn, grant)
        await reply.end()

    async def _relay(self, call: Call, course: _Course, reader: AnswerReader, reply: Reply) -> None:
        course.asked = time.monotonic()
        async with self._upstream.send(call) as answer:
            course.began(answer)
            await reply.begin(answer)
            async for piece in answer.body:
                reader.read(piece)
                course.heard(piece)
                await reply.add(piece)
            course.is_whole = True

    async def _wish(self, guest: Guest, request: ModelRequest, call: Call) -> Wish:
        """Say what a call could use at most.

        That is guessed from its size, which costs no time; where the guess leaves little room for
        an answer, the API is asked for the number of tokens, which costs no money.
        """
        wish = await asyncio.to_thread(self._measure, request, request.most_input)
        if guest.account.is_tight(wish):
            counted = await self._count(request, call)
            if counted is not None and counted < wish.input_tokens:
                return await asyncio.to_thread(self._measure, request, counted)
        return wish

    def _measure(self, request: ModelRequest, input_tokens: int) -> Wish:
        if not self._upstream.costs_money:
            return Wish(input_tokens, request.max_tokens, FREE)
        long_cache = request.asks_for_a_long_cache
        tariff = find_tariff(request.model, input_tokens, long_cache=long_cache)
        return Wish(input_tokens, request.max_tokens, tariff, long_cache)

    async def _count(self, request: ModelRequest, call: Call) -> int | None:
        """Ask the API how many tokens go in; None when it does not say."""
        question = replace(call, path=COUNT_TOKENS, body=request.question())
        with anyio.move_on_after(LONGEST_COUNT):
            async with self._upstream.send(question) as answer:
                body = b"".join([piece async for piece in answer.body])
                return _counted(body) if answer.status == 200 else None  # noqa: PLR2004 - OK
        return None

    def _refused(self, guest: Guest, cap: Cap) -> Answer:
        """Say that the task has to end; Claude Code takes 402 as final, and repeats a 400."""
        used = guest.account.caps.in_words(cap, guest.account.used)
        message = f"The budget of this task does not cover another call ({used} used)."
        return refusal(402, "billing_error", message, retry=False)

    def _turn(
        self, guest: Guest, model: str, grant: Grant, course: _Course, reader: AnswerReader
    ) -> Turn:
        """Say what a call amounts to, however far it got."""
        named = reader.model or model
        if course.costs_nothing:
            turn = Turn(
                course.status, course.waited, named, Usage(), priced=True, refusal=course.refusal
            )
        else:
            wish = grant.wish
            worst = worst_input(wish.input_tokens, long_cache=wish.long_cache)
            bounds = Bounds(worst, grant.max_tokens)
            seconds = time.monotonic() - course.asked
            spent = reader.used(bounds, seconds=seconds, is_whole=course.is_whole)
            paid = self._upstream.costs_money
            usage, priced = charge((named, model), spent, costs_money=paid)
            status = BROKEN if reader.broken else course.status if course.is_whole else CUT
            turn = Turn(status, course.waited, named, usage, priced, course.refusal)
        self._log(guest, turn)
        return turn

    def _log(self, guest: Guest, turn: Turn) -> None:
        log.info(
            "gateway.answered",
            run_id=guest.run_id,
            status=turn.status,
            model=turn.model,
            waited=round(turn.waited, 3),
            input_tokens=turn.usage.input_tokens,
            output_tokens=turn.usage.output_tokens,
            cost_usd=turn.usage.cost_usd,
        )
        if not turn.priced:
            self._log_once("gateway.unpriced", frozenset({turn.model}))

    def _log_once(self, event: str, names: frozenset[str]) -> None:
        """Log each name once."""
        news = {name[:LONGEST_NAME] for name in names} - self._logged
        if news and len(self._logged) < MOST_NAMES:
            self._logged |= news
            log.warning(event, names=sorted(news))


def _counted(body: bytes) -> int | None:
    """Read the API's count, with a margin: it may be a little off."""
    try:
        counted = json.loads(body)["input_tokens"]
        return int(counted * COUNT_IS_OFF) + COUNT_LACKS if counted >= 0 else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
