"""Networks of multi-state neurons: the phases that update rules are made of, in the order of an inner step."""

from blur.core.phases import Every as Every
from blur.core.phases import every as every
from blur.network.activations import ACTIVATIONS as ACTIVATIONS
from blur.network.activations import WithDerivative as WithDerivative
from blur.network.amendments import Decay as Decay
from blur.network.amendments import Oja as Oja
from blur.network.amendments import TieDirections as TieDirections
from blur.network.amendments import TieStates as TieStates
from blur.network.amendments import amend as amend
from blur.network.backward import Backward as Backward
from blur.network.ends import Feedback as Feedback
from blur.network.ends import LossGradient as LossGradient
from blur.network.ends import PresentInput as PresentInput
from blur.network.ends import Readout as Readout
from blur.network.ends import Remember as Remember
from blur.network.ends import present_target as present_target
from blur.network.forward import Forward as Forward
from blur.network.hebbian import ApplyChange as ApplyChange
from blur.network.hebbian import Change as Change
from blur.network.hebbian import Hebbian as Hebbian
from blur.network.synapse_norm import NormaliseSynapses as NormaliseSynapses
from blur.network.synapse_norm import SynapseNormalisation as SynapseNormalisation
from blur.network.synapses import DenseSynapses as DenseSynapses
from blur.network.synapses import Synapse as Synapse
from blur.network.weights.connection import Connection as Connection
from blur.network.weights.convolution import Convolution as Convolution
