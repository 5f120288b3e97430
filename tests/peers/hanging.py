"""MLServer's runtime for scikit-learn, where one call in so many hangs. Other calls go on meanwhile."""

import asyncio

from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver_sklearn import SKLearnModel

from hang import TIME_OUT, hangs


class HangingModel(SKLearnModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        if hangs():
            await asyncio.sleep(TIME_OUT)
            raise InferenceError("no score within the time-out")
        return await super().predict(payload)
