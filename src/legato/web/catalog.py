"""Routes that say what there is: agents and models. Clients name them, never hosts or ports."""

from fastapi import APIRouter
from starlette.responses import Response

from legato.agents.registry import AgentSpec, Registry
from legato.providers.catalog import ModelInfo
from legato.web.context import Asking
from legato.web.replies import AgentInfo, AgentList, ModelList, documents, reply

router = APIRouter(prefix="/v1", tags=["catalog"])


@router.get("/agents", responses=documents(AgentList))
async def list_agents(asking: Asking) -> Response:
    """The agents that answer here."""
    registry = asking.engine.registry
    return reply(AgentList(tuple(_info(spec, registry) for spec in registry.list())))


@router.get("/agents/{agent_id}", responses=documents(AgentInfo))
async def get_agent(asking: Asking, agent_id: str) -> Response:
    """One agent."""
    registry = asking.engine.registry
    return reply(_info(registry.get(agent_id), registry))


@router.get("/models", responses=documents(ModelList))
async def list_models(asking: Asking) -> Response:
    """The models, with window in tokens and price in USD per million tokens."""
    return reply(ModelList(asking.engine.models.catalog.list()))


@router.get("/models/{model_id:path}", responses=documents(ModelInfo))
async def get_model(asking: Asking, model_id: str) -> Response:
    """One model."""
    return reply(asking.engine.models.catalog.get(model_id))


def _info(spec: AgentSpec, registry: Registry) -> AgentInfo:
    return AgentInfo(
        id=spec.id,
        name=spec.name,
        role=spec.role,
        parent_role=spec.parent_role,
        description=spec.description,
        model_id=spec.model_id,
        demo=spec.demo,
        available=spec.available,
        default=spec is registry.default(),
        welcomes=bool(spec.welcome),
        suggestions=spec.suggestions,
    )
