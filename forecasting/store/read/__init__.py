"""Read queries on an open connection, one module a subject.

All of them are functions of this package.
"""

from forecasting.store.frames import *
from forecasting.store.read.forecasts import *
from forecasting.store.read.inputs import *
from forecasting.store.read.runs import *
from forecasting.store.read.scores import *
