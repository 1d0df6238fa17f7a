"""Uploading a checked folder to the hub in one commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line

MESSAGE = "Upload with vlm3r publish"
LONGEST = 300
"""Characters of the hub's own words in a message."""


def check_repo_name(repo: str, what: str = "--repo") -> None:
    """Raise unless a name is a valid hub id with its owner.

    Raises:
        UserError: the name is no `owner/name`, or holds characters that the hub refuses.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"{what} {repo!r}: no valid name on the hub ({first_line(error)})") from error
    if repo.count("/") != 1:
        raise UserError(f"{what} {repo!r}: give owner and name, such as someone/{repo or 'my-model'}")


def upload(folder: Path, repo: str, private: bool) -> str:
    """Create the repository if need be, bring the folder's files there in one commit, and return the commit's address.

    Files that are there already are left alone, so a second run with the same folder makes no commit.

    Args:
        folder: every file in it is uploaded.
        repo: `owner/name`.
        private: whether the repository must not be public; an existing public one is then refused.

    Raises:
        UserError: there is no token, the hub refuses it, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise UserError("no token for the hub: run `hf auth login`, or set HF_TOKEN to a token with write access")
    api = HfApi(token=token)
    with _explained(repo, api.endpoint):
        api.create_repo(repo, private=private, exist_ok=True)
        if private and api.repo_info(repo).private is False:
            raise UserError(f"{repo}: exists already and is public; make it private there, or choose another --repo")
        return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message=MESSAGE).commit_url)


@contextmanager
def _explained(repo: str, endpoint: str) -> Iterator[None]:
    """Turn what a hub, or the way to it, can answer into one line."""
    try:
        yield
    except UserError:
        raise
    # HTTP library and storage back end differ between versions of the hub's client, and so do their exceptions.
    except Exception as error:
        raise UserError(_explanation(error, repo, endpoint)) from error


def _explanation(error: Exception, repo: str, endpoint: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    chain: list[BaseException] = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    refused = next((one for one in chain if isinstance(one, HfHubHTTPError)), None)
    if refused is None:
        if any(isinstance(one, OfflineModeIsEnabled) for one in chain):
            return f"{repo}: HF_HUB_OFFLINE forbids the network; unset it, or look at what would go with --dry-run"
        return f"{repo}: {endpoint} was not reached ({_said(chain[0])}); check the connection and run again"
    status = refused.response.status_code
    said = " ".join((refused.server_message or str(error)).split())[:LONGEST] or f"status {status}"
    if status == 401:
        return f"{repo}: {endpoint} does not accept the token ({said}); run `hf auth login`, or set HF_TOKEN anew"
    if status == 403:
        return f"{repo}: the token may not write there ({said}); use one with write access to it, or another --repo"
    if status == 404:
        return f"{repo}: not found, or hidden from the token ({said}); check the name and the token's access"
    if status in (429, 500, 502, 503, 504):
        return f"{repo}: {endpoint} is busy or out of order ({said}); run again later, nothing was committed"
    return f"{repo}: {endpoint} refused the upload ({said}); nothing was committed"


def _said(error: BaseException) -> str:
    return first_line(error) if isinstance(error, Exception) else type(error).__name__
