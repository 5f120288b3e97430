"""tritonclient's client for HTTP against the server at the URL in argv[1]."""

import asyncio
import sys
import unittest

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from flights import ENDPOINT, FLIGHTS, OUTPUTS, TENSORS, decision, probability
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

URL = ""


def inputs(flights, binary_data=False, module=triton):
    result = []
    for name, (datatype, row) in TENSORS.items():
        values = np.array([row(flight) for flight in flights], dtype=triton_to_np_dtype(datatype))
        tensor = module.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary_data)
        result.append(tensor)
    return result


def outputs(*names, module=triton):
    return [module.InferRequestedOutput(name, binary_data=False) for name in names]


class Triton(unittest.TestCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(URL.removeprefix("http://"))
        self.addCleanup(self.client.close)

    def refused(self, words, **arguments):
        with self.assertRaises(InferenceServerException) as refused:
            self.client.infer(ENDPOINT, **arguments)
        self.assertIn(words, refused.exception.message())
        return refused.exception.status()

    def test_server_and_model_are_live_ready_and_described(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(ENDPOINT))
        self.assertFalse(self.client.is_model_ready("nobody"))
        self.assertFalse(self.client.is_model_ready(ENDPOINT, "1"))
        self.assertEqual(self.client.get_server_metadata()["name"], "rendezvous")
        metadata = self.client.get_model_metadata(ENDPOINT)
        self.assertEqual([each["name"] for each in metadata["inputs"]], list(TENSORS))
        self.assertEqual([each["name"] for each in metadata["outputs"]], OUTPUTS)
        with self.assertRaises(InferenceServerException):
            self.client.get_model_metadata("nobody")

    def test_rows_get_the_answers_of_version_1(self):
        result = self.client.infer(
            ENDPOINT, inputs(FLIGHTS), outputs=outputs("delay_probability", "request", "model"), request_id="42"
        )
        self.assertEqual(result.get_response()["id"], "42")
        answered = result.as_numpy("delay_probability")
        self.assertEqual((answered.shape, answered.dtype), ((3, 1), np.float64))
        for flight, row, request in zip(FLIGHTS, answered, result.as_numpy("request"), strict=True):
            self.assertEqual(row[0], probability(URL, flight))
            self.assertEqual(decision(URL, request[0])["score"]["delay_probability"], row[0])

    def test_without_outputs_all_come_as_json(self):
        # The client then asks for binary outputs, and reads JSON.
        result = self.client.infer(ENDPOINT, inputs(FLIGHTS[:1]))
        self.assertEqual([each["name"] for each in result.get_response()["outputs"]], OUTPUTS)
        self.assertEqual(result.as_numpy("delay_probability")[0, 0], probability(URL, FLIGHTS[0]))
        self.assertEqual(result.as_numpy("kind").shape, (1, 1))

    def test_a_hundred_rows_are_answered_and_no_more(self):
        flights = (FLIGHTS * 34)[:100]
        answered = self.client.infer(ENDPOINT, inputs(flights)).as_numpy("delay_probability")
        expected = [probability(URL, flight) for flight in FLIGHTS]
        by_model = self.client.infer(ENDPOINT, inputs(FLIGHTS)).as_numpy("model")
        if set(by_model.flatten()) == {"logistic@1"}:
            self.assertTrue(set(answered.flatten()) >= set(expected))
        self.assertEqual(answered.shape, (100, 1))
        self.assertEqual(self.refused("102 rows", inputs=inputs(FLIGHTS * 34)), "400")

    def test_a_time_out_is_a_deadline(self):
        result = self.client.infer(ENDPOINT, inputs(FLIGHTS), timeout=1)
        self.assertLess(result.get_response()["parameters"]["elapsed_ms"], 100)

    def test_binary_inputs_are_refused_with_what_to_do(self):
        status = self.refused("binary_data=False", inputs=inputs(FLIGHTS, binary_data=True))
        self.assertEqual(status, "415")

    def test_mistakes_are_named(self):
        status = self.refused('input "weather" is missing', inputs=inputs(FLIGHTS)[:-1])
        self.assertEqual(status, "400")
        self.refused('no output "nothing"', inputs=inputs(FLIGHTS), outputs=outputs("nothing"))
        self.refused("no versions", inputs=inputs(FLIGHTS), model_version="1")

    def test_the_asynchronous_client_is_answered_as_well(self):
        async def ask():
            async with triton_aio.InferenceServerClient(URL.removeprefix("http://")) as client:
                tensors = inputs(FLIGHTS, module=triton_aio)
                return await client.infer(ENDPOINT, tensors, outputs=outputs("kind", module=triton_aio))

        self.assertEqual(asyncio.run(ask()).as_numpy("kind").shape, (3, 1))


if __name__ == "__main__":
    URL = sys.argv.pop(1)
    unittest.main()
