"""Makes an account of Airflow, or gives it another password or role.

Reads one JSON object from standard input: name, password, role (viewer, operator or admin; null keeps what the account
has). Passwords come this way, because a process list shows arguments. An account that has this password and role is
left alone, so that its sessions go on; another password ends them.
Exit codes: 0 done, 1 failed, 2 a new account without a role.
"""

import json
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from werkzeug.security import check_password_hash

# Our names, and the roles that Airflow makes itself.
ROLES = {"viewer": "Viewer", "operator": "Op", "admin": "Admin"}
FAILED, WRONG_USAGE = 1, 2


class NoRole(Exception):
    """A new account needs a role."""


@providers_configuration_loaded
def set_account(name: str, password: str, role: str | None) -> str:
    """Make the account as it is to be; returns what was done, in words. Errors: NoRole, RuntimeError."""
    with get_application_builder() as builder:
        manager = builder.sm
        roles = [manager.find_role(ROLES[role])] if role else []
        user = manager.find_user(username=name)
        if user is None:
            if not roles:
                raise NoRole(f"there is no account {name}; a new one needs a role: {', '.join(ROLES)}")
            manager.add_user(name, name, "", f"{name}@localhost", roles, password)
            return "made"
        if check_password_hash(user.password or "", password) and (not roles or user.roles == roles):
            return "unchanged"
        if roles:
            user.roles = roles
        user.active = True
        if not manager.reset_password(user.id, password):
            raise RuntimeError(f"Airflow did not change the account {name}")
        return "changed"


def main() -> int:
    wanted = json.load(sys.stdin)
    try:
        done = set_account(wanted["name"], wanted["password"], wanted["role"])
    except NoRole as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    print(f"account {wanted['name']}: {done}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
