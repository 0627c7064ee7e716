import pytest

from codebot.settings.proxy import credentials_in, proxy_address, proxy_for


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("proxy.corp:3128", "http://proxy.corp:3128"),
        ("proxy.corp", "http://proxy.corp:80"),
        ("http://proxy.corp:3128/", "http://proxy.corp:3128"),
        ("HTTP://Proxy.corp:3128", "http://Proxy.corp:3128"),
        ("https://proxy.corp", "https://proxy.corp:443"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ("socks5://proxy.corp", "socks5h://proxy.corp:1080"),
        ("socks5h://proxy.corp:9050", "socks5h://proxy.corp:9050"),
        ("socks://127.0.0.1:1080/", "socks5h://127.0.0.1:1080"),
        ("me:pw@proxy:1", "http://me:pw@proxy:1"),
        ("//me:pw@proxy:1", "http://me:pw@proxy:1"),
        ("//proxy.corp:3128", "http://proxy.corp:3128"),
        ("http://me:p#w@proxy:1", "http://me:p%23w@proxy:1"),
        ("http://me:p@w@proxy:1", "http://me:p%40w@proxy:1"),
        ("http://me:p%w@proxy:1", "http://me:p%25w@proxy:1"),
        ("http://me:100%@proxy:1", "http://me:100%25@proxy:1"),
        ("http://me:p%40w@proxy:1", "http://me:p%40w@proxy:1"),
        ("http://me:p/w?x@proxy:1", "http://me:p%2Fw%3Fx@proxy:1"),
        ("http://me:p:w@proxy:1", "http://me:p%3Aw@proxy:1"),
        ("http://me:ü@proxy:1", "http://me:%C3%BC@proxy:1"),
        ("http://me@proxy:1", "http://me@proxy:1"),
        (r"http://CORP\me:pw@proxy:1", "http://CORP%5Cme:pw@proxy:1"),
    ],
)
def test_every_program_gets_a_proxys_address_in_one_form(given: str, read: str) -> None:
    assert proxy_address(given) == read


@pytest.mark.parametrize(
    "given",
    [
        "http://",
        "http://:3128",
        "http://me:canary@",
        "http://me:canary@proxy:port",
        "http://me:canary@proxy:0",
        "http://me:canary@proxy:65536",
        "http://me:canary@proxy:99999999",
        "http://me:canary@::1:3128",
        "http://me:canary@[::1:3128",
        "http://me:canary@[::g]:3128",
        "http://me:canary@[fe80::1%25eth0]:1",
        "http://me:canary@proxy#x:3128",
        "ftp://me:canary@proxy:3128",
        "socks4://me:canary@proxy:3128",
        "http://me:canary @proxy:3128",
        "http://me:canary\x01@proxy:3128",
        "http://me:canary@pro xy",
        "http://me:canary@-proxy",
    ],
)
def test_what_is_no_proxys_address_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(ValueError, match=r"address of a proxy|port") as caught:
        proxy_address(given)
    assert "canary" not in str(caught.value)
    if "canary" in given:
        assert any("canary" in known for known in credentials_in(given))


@pytest.mark.parametrize(
    ("entry", "url", "is_direct"),
    [
        ("ghe.corp", "https://ghe.corp/x", True),
        ("ghe.corp", "https://a.ghe.corp/x", True),
        ("ghe.corp", "https://notghe.corp/x", False),
        (".corp", "https://ghe.corp", True),
        ("*.corp", "https://ghe.corp", True),
        ("corp.", "https://ghe.corp", True),
        ("GHE.corp", "https://ghe.CORP", True),
        ("ghe.corp:443", "https://ghe.corp", True),
        ("ghe.corp:8443", "https://ghe.corp", False),
        ("ghe.corp:8443", "https://ghe.corp:8443", True),
        ("a b ghe.corp", "https://ghe.corp", True),
        ("a,,ghe.corp ,", "https://ghe.corp", True),
        ("*", "https://ghe.corp", True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://ten.example", False),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("::1", "http://[::1]:80", True),
        ("[::1]", "http://[::1]:80", True),
        ("[::1]:81", "http://[::1]:80", False),
        ("fd00::/8", "https://[fd00::7]", True),
        ("", "https://ghe.corp", False),
        (".", "https://ghe.corp", False),
    ],
)
def test_no_proxy_is_read_in_all_its_forms(entry: str, url: str, *, is_direct: bool) -> None:
    proxies = {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1", "NO_PROXY": entry}
    assert (proxy_for(url, proxies) is None) is is_direct
