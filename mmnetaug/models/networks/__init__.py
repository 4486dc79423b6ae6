"""The networks as rows of layers, and NetAug around any of them."""

from mmnetaug.models.networks.netaug import NetAug
from mmnetaug.models.networks.network import Network, build_network

__all__ = ['NetAug', 'Network', 'build_network']
