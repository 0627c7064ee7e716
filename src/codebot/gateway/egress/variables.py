"""The variables by which programs in a box find the proxy and the registries."""

from codebot.domain.box import HOST_ADDRESS, HOSTNAME
from codebot.gateway.registries.catalog import Catalog
from codebot.gateway.registries.trust import trust_variables


def box_variables(port: int, catalog: Catalog) -> dict[str, str]:
    """Give them for a box whose proxy has this port.

    The registries have their real names, so that what programs write down (lock files) is what they
    would write anywhere. Only where this machine is set up to use a mirror are they told of it.
    """
    proxy = f"http://127.0.0.1:{port}"
    direct = f"localhost,127.0.0.1,::1,{HOSTNAME},{HOST_ADDRESS}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    return {
        **proxies,
        "NO_PROXY": direct,
        "no_proxy": direct,
        **trust_variables(),
        **_mirrors(catalog),
        **_QUIET,
        **_FEW_RETRIES,
    }


def _mirrors(catalog: Catalog) -> dict[str, str]:
    told = {}
    if pip := catalog.told(catalog.pip):
        told["PIP_INDEX_URL"] = f"{pip}/"
    if npm := catalog.told(catalog.npm):
        told["npm_config_registry"] = f"{npm}/"
        told["COREPACK_NPM_REGISTRY"] = npm
    elif catalog.npm is not None:
        told["npm_config_replace_registry_host"] = "always"
    return told


_QUIET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
    "YARN_ENABLE_TELEMETRY": "0",
}
"""What would ask hosts, or people, that are not there."""

_FEW_RETRIES = {
    "PIP_RETRIES": "1",
    "UV_HTTP_RETRIES": "1",
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "1000",
    "CARGO_NET_RETRY": "1",
    "YARN_HTTP_RETRY": "1",
}
"""The proxy is near, and what it refuses it refuses again: programs would ask for minutes."""
