"""KServe's client for REST against the server at the URL in argv[1]."""

import sys
import unittest

import httpx
import numpy as np
from flights import ENDPOINT, FLIGHTS, OUTPUTS, TENSORS, decision, probability
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL = ""
NUMPY = {"BYTES": np.object_, "INT64": np.int64, "FP64": np.float64}


def request(flights, binary_data=False, **more):
    inputs = []
    for name, (datatype, row) in TENSORS.items():
        values = np.array([row(flight) for flight in flights], dtype=NUMPY[datatype])
        tensor = InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary_data)
        inputs.append(tensor)
    return InferRequest(ENDPOINT, inputs, **more)


class KServe(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = InferenceRESTClient(RESTConfig(protocol="v2"))
        self.addAsyncCleanup(self.client.close)

    async def refused(self, words, request, model=ENDPOINT):
        with self.assertRaises(httpx.HTTPStatusError) as refused:
            await self.client.infer(URL, request, model_name=model)
        self.assertIn(words, str(refused.exception))
        return refused.exception.response.status_code

    async def test_server_and_model_are_live_and_ready(self):
        self.assertTrue(await self.client.is_server_live(URL))
        self.assertTrue(await self.client.is_server_ready(URL))
        self.assertTrue(await self.client.is_model_ready(URL, ENDPOINT))
        self.assertFalse(await self.client.is_model_ready(URL, "nobody"))

    async def test_rows_get_the_answers_of_version_1(self):
        answer = await self.client.infer(URL, request(FLIGHTS, request_id="42"), model_name=ENDPOINT)
        self.assertEqual((answer.id, answer.model_name), ("42", ENDPOINT))
        self.assertEqual([output.name for output in answer.outputs], OUTPUTS)
        answered = answer.get_output_by_name("delay_probability").as_numpy()
        requests = answer.get_output_by_name("request").data
        self.assertEqual((answered.shape, answered.dtype), ((3, 1), np.float64))
        for flight, row, name in zip(FLIGHTS, answered, requests, strict=True):
            self.assertEqual(row[0], probability(URL, flight))
            self.assertEqual(decision(URL, name)["score"]["delay_probability"], row[0])

    async def test_outputs_and_parameters_are_those_of_the_request(self):
        asked = request(FLIGHTS, request_outputs=[RequestedOutput("kind")], parameters={"deadline_ms": 150, "key": "k"})
        answered = {}
        answer = await self.client.infer(URL, asked, model_name=ENDPOINT, response_headers=answered)
        self.assertEqual([output.name for output in answer.outputs], ["kind"])
        self.assertEqual(answered["rendezvous-deadline-ms"], "150")

    async def test_a_wish_for_binary_outputs_is_answered_in_json(self):
        asked = request(FLIGHTS[:1], parameters={"binary_data_output": True})
        answer = await self.client.infer(URL, asked, model_name=ENDPOINT)
        self.assertEqual(answer.get_output_by_name("delay_probability").data, [probability(URL, FLIGHTS[0])])

    async def test_mistakes_are_named(self):
        self.assertEqual(await self.refused("binary_data=False", request(FLIGHTS, binary_data=True)), 415)
        self.assertEqual(await self.refused("There is no endpoint nobody", request(FLIGHTS), "nobody"), 404)
        asked = request(FLIGHTS)
        asked.inputs.pop()
        self.assertEqual(await self.refused('input "weather" is missing', asked), 400)


if __name__ == "__main__":
    URL = sys.argv.pop(1)
    unittest.main()
