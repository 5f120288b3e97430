"""The resources AWS::ApiGatewayV2::* of CloudFormation. Nothing but their properties is kept."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from localstack import config
from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

Properties = dict[str, Any]


@dataclass
class Api:
    """What has been deployed of one API: kind of resource -> id -> properties."""

    account: str
    region: str
    resources: dict[str, dict[str, Properties]] = field(default_factory=dict)

    def all(self, kind: str) -> dict[str, Properties]:
        """The resources of a kind, by id."""
        return self.resources.setdefault(kind, {})


# By id.
APIS: dict[str, Api] = {}


class _Provider(ResourceProvider[Properties]):
    """Creates, updates and deletes resources of one kind."""

    KIND: str
    ID: str

    def create(self, request: ResourceRequest[Properties]) -> ProgressEvent[Properties]:
        model = request.desired_state
        if not model.get(self.ID):
            model[self.ID] = uuid.uuid4().hex[:10]
        if self.KIND == "Api":
            port = config.GATEWAY_LISTEN[0].port
            model["ApiEndpoint"] = f"http://{model['ApiId']}.execute-api.localhost.localstack.cloud:{port}"
            APIS[model["ApiId"]] = Api(request.account_id, request.region_name)
        return self._keep(request, model)

    def update(self, request: ResourceRequest[Properties]) -> ProgressEvent[Properties]:
        return self._keep(request, (request.previous_state or {}) | request.desired_state)

    def read(self, request: ResourceRequest[Properties]) -> ProgressEvent[Properties]:
        raise NotImplementedError

    def delete(self, request: ResourceRequest[Properties]) -> ProgressEvent[Properties]:
        model = request.desired_state
        if api := APIS.get(model["ApiId"]):
            api.all(self.KIND).pop(model[self.ID], None)
        if self.KIND == "Api":
            APIS.pop(model["ApiId"], None)
        return _done(request, model)

    def _keep(self, request: ResourceRequest[Properties], model: Properties) -> ProgressEvent[Properties]:
        APIS[model["ApiId"]].all(self.KIND)[model[self.ID]] = model
        return _done(request, model)


def _done(request: ResourceRequest[Properties], model: Properties) -> ProgressEvent[Properties]:
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def _plugin(kind: str, identifier: str) -> type[CloudFormationResourceProviderPlugin]:
    """How LocalStack finds the provider of a kind."""
    type_name = f"AWS::ApiGatewayV2::{kind}"
    schema = {
        "typeName": type_name,
        "properties": {},
        "primaryIdentifier": [f"/properties/{identifier}"],
        "readOnlyProperties": [],
    }
    provider = type(kind, (_Provider,), {"KIND": kind, "ID": identifier, "TYPE": type_name, "SCHEMA": schema})

    class Plugin(CloudFormationResourceProviderPlugin):
        name = type_name

        def __init__(self) -> None:
            self.factory: type[ResourceProvider[Properties]] | None = None

        def load(self) -> None:
            self.factory = provider

    return Plugin


ApiPlugin = _plugin("Api", "ApiId")
StagePlugin = _plugin("Stage", "StageName")
IntegrationPlugin = _plugin("Integration", "IntegrationId")
RoutePlugin = _plugin("Route", "RouteId")
AuthorizerPlugin = _plugin("Authorizer", "AuthorizerId")
