"""Signs in an output that tests want a service, a browser or Docker, which no box has. Pure."""

import re
from itertools import chain

from codebot.sandbox.output import last_words

PORTS = {
    "1433": "SQL Server",
    "2181": "ZooKeeper",
    "2379": "etcd",
    "3306": "MySQL",
    "4222": "NATS",
    "5432": "PostgreSQL",
    "5672": "RabbitMQ",
    "6379": "Redis",
    "9042": "Cassandra",
    "9092": "Kafka",
    "9200": "Elasticsearch",
    "11211": "Memcached",
    "26379": "Redis Sentinel",
    "27017": "MongoDB",
}
"""Of services that tests usually want, by the port that they listen on."""

_REFUSED = re.compile(
    r"^.*(?:refused|ECONNREFUSED|Error 111|Connect call failed|Cannot assign requested).*$",
    re.MULTILINE | re.IGNORECASE,
)
_PORT = re.compile(r"(?:[:=]|\bport |', )(\d{4,5})\b")
_NAMED = {
    "PostgreSQL": re.compile(r"\.s\.PGSQL\.\d+"),
    "MySQL": re.compile(r"Can't connect to (?:local )?MySQL server"),
    "Docker": re.compile(
        r"error while fetching server API version|is the docker daemon running|DockerException|"
        r"cannot connect to the docker daemon|valid docker environment",
        re.IGNORECASE,
    ),
    "a browser": re.compile(
        r"Executable doesn't exist at|cannot find chrome binary|could not find chrome|"
        r"no binary for chrome|CHROME_BIN|unable to obtain driver for|cannot start chrome",
        re.IGNORECASE,
    ),
}


def service_in(output: str) -> str:
    """Name what tests could not reach, "" for nothing that is known.

    >>> service_in("ConnectionError: Error 111 connecting to localhost:6379. Connection refused.")
    'Redis'
    """
    tail = last_words(output)
    named = (name for name, pattern in _NAMED.items() if pattern.search(tail))
    ports = chain.from_iterable(map(_PORT.findall, _REFUSED.findall(tail)))
    return next(chain(named, (PORTS[port] for port in ports if port in PORTS)), "")
