"""Policies: YAML files that say which detectors watch a model's text and what is done about what they find."""

from guard.policy.compile import CompiledPolicy as CompiledPolicy
from guard.policy.compile import Series as Series
from guard.policy.compile import compile_policy as compile_policy
from guard.policy.compile import load_policy as load_policy
from guard.policy.examples import try_examples as try_examples
from guard.policy.problems import PolicyError as PolicyError
from guard.policy.problems import Problem as Problem
from guard.policy.source import PolicySource as PolicySource
from guard.policy.source import builtin_policies as builtin_policies
from guard.policy.source import parse_policy as parse_policy
from guard.policy.source import read_policy as read_policy
