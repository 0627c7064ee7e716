"""The coding agent and its model, wired."""

from pathlib import Path

from codebot.agent.claude import ClaudeAgent
from codebot.agent.command import CommandAgent
from codebot.agent.runner import AgentLimits
from codebot.agent.work import AgentWork
from codebot.domain.budget import Caps
from codebot.domain.ports import Agent, Sandbox
from codebot.gateway.anthropic import AnthropicUpstream
from codebot.gateway.gateway import Gateway
from codebot.gateway.scripted import ScriptedUpstream
from codebot.gateway.upstream import NoUpstream, Upstream
from codebot.settings import Settings
from codebot.settings.proxy import proxy_for
from codebot.store.store import Store
from codebot.telemetry.redaction import Redactor


def make_agent(settings: Settings) -> Agent:
    """Give the agent: a command of the operator, or Claude Code."""
    if settings.agent_command:
        return CommandAgent(settings.agent_command)
    return ClaudeAgent(settings.claude_bin, path=settings.path)


def agent_work(
    settings: Settings,
    agent: Agent,
    sandbox: Sandbox,
    gateway: Gateway,
    store: Store,
    redactor: Redactor,
) -> AgentWork:
    """Give what lets the agent work on tasks, within the limits of the settings."""
    return AgentWork(
        agent=agent,
        sandbox=sandbox,
        gateway=gateway,
        store=store,
        limits=AgentLimits(settings.agent_timeout, settings.agent_idle_timeout),
        caps=Caps(settings.max_turns, settings.max_budget_usd, settings.max_tokens),
        model=settings.model,
        redact=redactor,
    )


def model_upstream(settings: Settings) -> Upstream:
    """Give the model: a file of turns, or the API with the one credential there is."""
    if isinstance(settings.anthropic_base_url, Path):
        return ScriptedUpstream(settings.anthropic_base_url)
    if not settings.has_model_credential:
        return NoUpstream()
    return AnthropicUpstream(
        settings.anthropic_base_url,
        api_key=settings.anthropic_api_key,
        auth_token=settings.anthropic_auth_token,
        certificate_file=settings.certificate_file,
        proxy=proxy_for(settings.anthropic_base_url, settings.proxies),
    )
