"""A collector of OpenTelemetry's metrics: prints each metric's name once. Runs in Airflow's image, on port 4318."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

_seen: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name not in _seen:
                        _seen.add(metric.name)
                        # One write: of two threads that print, the second would write before the first's end of line.
                        print(f"{metric.name}\n", end="", flush=True)

    def log_message(self, *_: Any) -> None:
        pass


ThreadingHTTPServer(("", 4318), Handler).serve_forever()
