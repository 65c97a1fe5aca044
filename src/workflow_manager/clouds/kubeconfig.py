"""Kubeconfig files: which API server a context names, and the credentials for it.

Several files, as `KUBECONFIG` may list, count as one: of each name, the first is taken.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow_manager.clouds.kubernetes_access import Access
from workflow_manager.clouds.kubernetes_credentials import (
    ApiCredentials,
    ExecPlugin,
    Fixed,
    PluginSpec,
    Proof,
    TokenFile,
    basic,
    bearer,
)
from workflow_manager.clouds.tls_settings import TlsSettings
from workflow_manager.clouds.yaml_files import read_document
from workflow_manager.errors import ConfigError, Mistake

_WHAT = "the kubeconfig"


class Kubeconfig:
    """One or several files, read as one; raises ConfigError, also in every method."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._shown = os.pathsep.join(map(str, paths))
        self._found: dict[str, dict[str, _Section]] = {"clusters": {}, "contexts": {}, "users": {}}
        self._current = ""
        for path in paths:
            self._add(path, read_document(path, _WHAT))

    def access(self, context: str, environ: Mapping[str, str]) -> Access:
        """What the context of this name says, or the current one if that is empty."""
        name = context or self._current
        if not name:
            raise self._mistake("it has no current context: choose one with --kubernetes-context")
        chosen = self._section("contexts", name)
        cluster = self._section("clusters", chosen.text("cluster"))
        user = self._section("users", chosen.text("user")) if chosen.text("user") else _Section({}, Path())
        if cluster.text("tls-server-name"):
            raise self._mistake("tls-server-name is not supported")
        tls = TlsSettings(
            ca=cluster.file_or_data("certificate-authority"),
            verify=not cluster.content.get("insecure-skip-tls-verify"),
            source=f"certificate-authority of the context {name!r} in {self._shown}",
        )
        return Access(
            cluster.text("server"),
            chosen.text("namespace"),
            tls,
            self._credentials(user, cluster, environ),
            source=f"the context {name!r} in {self._shown}",
            proxy=cluster.text("proxy-url"),
        )

    def _add(self, path: Path, document: Mapping[str, object]) -> None:
        self._current = self._current or str(document.get("current-context") or "")
        for kind, sections in self._found.items():
            entries = document.get(kind) or []
            if not isinstance(entries, list):
                raise self._mistake(f"{kind} is not a list")
            for entry in entries:
                content = entry.get(kind.removesuffix("s")) if isinstance(entry, dict) else None
                if not isinstance(content, dict | None):
                    raise self._mistake(f"an entry of {kind} is not valid")
                if isinstance(entry, dict):
                    sections.setdefault(str(entry.get("name")), _Section(content or {}, path.parent))

    def _section(self, kind: str, name: str) -> "_Section":
        found = self._found[kind].get(name)
        if found is None:
            known = ", ".join(sorted(self._found[kind])) or "none"
            raise self._mistake(f"it has no {kind.removesuffix('s')} {name!r}; there are: {known}")
        return found

    def _credentials(
        self, user: "_Section", cluster: "_Section", environ: Mapping[str, str]
    ) -> ApiCredentials:
        if isinstance(plugin := user.content.get("exec"), dict):
            return ExecPlugin(_plugin_spec(_Section(plugin, user.folder), cluster, environ))
        if user.content.get("auth-provider"):
            raise self._mistake("auth-provider is not supported any more: use an exec plug-in")
        certificate, key = user.file_or_data("client-certificate"), user.file_or_data("client-key")
        if token := user.text("token"):
            return Fixed(Proof(bearer(token), certificate, key))
        if path := user.text("tokenFile"):
            return TokenFile(user.folder / path)
        password = basic(name, user.text("password")) if (name := user.text("username")) else ""
        return Fixed(Proof(password, certificate, key))

    def _mistake(self, problem: str) -> ConfigError:
        return ConfigError([Mistake("", "", f"{_WHAT} {self._shown!r} cannot be used: {problem}")])


class _Section:
    """What one entry says. Paths in it are relative to the folder of its file."""

    def __init__(self, content: Mapping[str, object], folder: Path) -> None:
        self.content = content
        self.folder = folder

    def text(self, key: str) -> str:
        return str(self.content.get(key) or "")

    def file_or_data(self, key: str) -> str | bytes:
        """The path of a PEM file, or its content where the entry has that itself."""
        if data := self.text(f"{key}-data"):
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise ConfigError(
                    [Mistake("", "", f"{_WHAT} cannot be used: {key}-data is not base64: {error}")]
                ) from error
        path = self.text(key)
        if path and not os.access(self.folder / path, os.R_OK):
            problem = f"{key} {str(self.folder / path)!r} cannot be read"
            raise ConfigError([Mistake("", "", f"{_WHAT} cannot be used: {problem}")])
        return str(self.folder / path) if path else ""


def _plugin_spec(plugin: _Section, cluster: _Section, environ: Mapping[str, str]) -> PluginSpec:
    arguments, variables = plugin.content.get("args"), plugin.content.get("env")
    more = {
        str(entry.get("name")): str(entry.get("value"))
        for entry in (variables if isinstance(variables, list) else [])
        if isinstance(entry, dict)
    }
    command = plugin.text("command")
    relative = "/" in command and not command.startswith("/")
    told = {
        key: value
        for key in ("server", "certificate-authority-data", "insecure-skip-tls-verify", "proxy-url")
        if (value := cluster.content.get(key))
    }
    return PluginSpec(
        str(plugin.folder / command) if relative else command,
        tuple(map(str, arguments)) if isinstance(arguments, list) else (),
        {**environ, **more},
        plugin.text("apiVersion"),
        plugin.text("interactiveMode") or "IfAvailable",
        plugin.text("installHint"),
        told if plugin.content.get("provideClusterInfo") else None,
    )
