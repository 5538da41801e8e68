"""Rules about partitions, shards and extensions that manage tables."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.partitions.attach_partition_builds_index import AttachPartitionBuildsIndex
from evolve.lint.rules.partitions.attach_partition_default_scan import AttachPartitionDefaultScan
from evolve.lint.rules.partitions.attach_partition_identity import AttachPartitionIdentity
from evolve.lint.rules.partitions.attach_partition_no_check import AttachPartitionNoCheck
from evolve.lint.rules.partitions.create_partition_of import CreatePartitionOf
from evolve.lint.rules.partitions.default_partition_growth import DefaultPartitionGrowth
from evolve.lint.rules.partitions.detach_concurrently_default import DetachConcurrentlyDefault
from evolve.lint.rules.partitions.detach_partition import DetachPartition
from evolve.lint.rules.partitions.detach_partition_blocking import DetachPartitionBlocking
from evolve.lint.rules.partitions.detached_before_change import DetachedBeforeChange
from evolve.lint.rules.partitions.drop_attached_partition import DropAttachedPartition
from evolve.lint.rules.partitions.drop_extension import DropExtension
from evolve.lint.rules.partitions.extension_unpinned import ExtensionUnpinned
from evolve.lint.rules.partitions.inherited_constraint import InheritedConstraint
from evolve.lint.rules.partitions.managed_table_ddl import ManagedTableDdl
from evolve.lint.rules.partitions.only_the_parent import OnlyTheParent
from evolve.lint.rules.partitions.partition_bound_taken import PartitionBoundTaken
from evolve.lint.rules.partitions.partition_key_not_in_pk import PartitionKeyNotInPk
from evolve.lint.rules.partitions.partition_key_several_columns import PartitionKeySeveralColumns
from evolve.lint.rules.partitions.partition_misfit import PartitionMisfit
from evolve.lint.rules.partitions.partition_without_policy import PartitionWithoutPolicy
from evolve.lint.rules.partitions.partitioned_parent_fanout import PartitionedParentFanout
from evolve.lint.rules.partitions.premake_with_retention import PremakeWithRetention
from evolve.lint.rules.partitions.publication_column_list import PublicationColumnList
from evolve.lint.rules.partitions.publication_subscriber_first import PublicationSubscriberFirst
from evolve.lint.rules.partitions.shard_drift import ShardDrift
from evolve.lint.rules.partitions.shard_local_key import ShardLocalKey
from evolve.lint.rules.partitions.shard_order import ShardOrder
from evolve.lint.rules.partitions.unsupported_on_partitioned import UnsupportedOnPartitioned
from evolve.lint.rules.partitions.upgrade_extension import UpgradeExtension

RULES: tuple[Rule, ...] = (
    AttachPartitionBuildsIndex(),
    AttachPartitionDefaultScan(),
    AttachPartitionIdentity(),
    AttachPartitionNoCheck(),
    CreatePartitionOf(),
    DefaultPartitionGrowth(),
    DetachConcurrentlyDefault(),
    DetachPartition(),
    DetachPartitionBlocking(),
    DetachedBeforeChange(),
    DropAttachedPartition(),
    DropExtension(),
    ExtensionUnpinned(),
    InheritedConstraint(),
    ManagedTableDdl(),
    OnlyTheParent(),
    PartitionBoundTaken(),
    PartitionKeyNotInPk(),
    PartitionKeySeveralColumns(),
    PartitionMisfit(),
    PartitionWithoutPolicy(),
    PartitionedParentFanout(),
    PremakeWithRetention(),
    PublicationColumnList(),
    PublicationSubscriberFirst(),
    ShardDrift(),
    ShardLocalKey(),
    ShardOrder(),
    UnsupportedOnPartitioned(),
    UpgradeExtension(),
)
