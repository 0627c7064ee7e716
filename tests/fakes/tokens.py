"""Made-up tokens of every shape, put together from parts: no scanner finds one in this file."""

import base64
import json
import random
import string

LETTERS = string.ascii_letters + string.digits


def letters(count: int, of: str = LETTERS, seed: int = 0) -> str:
    """Give letters as random as a token's, the same ones each time."""
    return "".join(random.Random(seed).choices(of, k=count))


def jwt() -> str:
    parts = ({"alg": "HS256"}, {"sub": "ada", "iat": 1_700_000_000})
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return f"{head.rstrip('=')}.{body.rstrip('=')}.{letters(43)}"


def private_key(kind: str = "RSA ", lines: int = 4) -> str:
    """Give a PEM block that is no key."""
    body = "\n".join(letters(64, LETTERS + "+/", line) for line in range(lines))
    last = letters(10) + "=="
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n{last}\n-----END {kind}PRIVATE KEY-----\n"


UPPER = string.ascii_uppercase + string.digits

PROOF = {
    **{f"gh{kind}": f"gh{kind}_" + letters(36) for kind in "pousr"},
    "github_pat": "github_pat_" + letters(22) + "_" + letters(59),
    "gitlab": "glpat-" + letters(20),
    "anthropic": "sk-ant-" + "api03-" + letters(93),
    "openai": "sk-" + letters(48),
    "openai project": "sk-proj-" + letters(100),
    "google": "AIza" + letters(35),
    "aws id": "AKIA" + letters(16, UPPER),
    "aws session id": "ASIA" + letters(16, UPPER),
    "aws secret": "aws_secret_access_key = " + letters(40),
    "slack": "xoxb-" + "123456789012-123456789012-" + letters(24),
    "slack app": "xapp-" + "1-A0B1C2D3-" + letters(40),
    "slack webhook": "https://hooks.slack.com/" + "services/T0A1B2C3/B0A1B2C3/" + letters(24),
    "npm": "npm_" + letters(36),
    "pypi": "pypi-" + letters(160),
    "stripe": "sk_live_" + letters(24),
    "stripe restricted": "rk_live_" + letters(24),
    "sendgrid": "SG." + letters(22) + "." + letters(43),
    "square": "sq0csp-" + letters(43),
}
"""What is worth something wherever it stands."""

HINTS = {"jwt": jwt()}
"""What is masked, but may well be a sample."""

ORDINARY = (
    "0123456789abcdef0123456789abcdef01234567",  # a commit
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "sha512-" + letters(86, LETTERS + "+/") + "==",
    "data:image/png;base64," + letters(3000, LETTERS + "+/"),
    "data:image/webp;base64," + letters(3000, LETTERS + "-_"),
    "sk-toggleable__label-arrow sk-project-of-a-long-and-windy-name task-sk-learn risk-proj-x",
    "ghp_short gho_ ghs_token_name npm_config_registry pypi-server glpat-",
    "git@github.com:acme/shop.git https://github.com/acme/shop@v1 http://localhost:8080/a@b",
    "https://user@host/ postgres://{user}:{password}@host mysql://%s:%s@db x://u:${PW}@h",
    "https://[::1]:8080/ https://host:443/?q=a:b@c",
    "AKIA ASIA eyJ eyJhbGciOiJIUzI1NiJ9 xoxb- SG.x.y AIzaSyShort",
    'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    assertItIsNotAnythingThatLooksLikeIt()',
    "-----BEGIN PUBLIC KEY-----\n" + letters(64) + "\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + letters(64) + "\n-----END CERTIFICATE-----",
    letters(4) + "-sk-" + letters(40),
    "the laws of keys pass " + letters(30),
    "uses: aws-actions/configure-aws-credentials@" + letters(40, "0123456789abcdef"),
)
"""What every repository and every log is full of."""
